-- What an event is found by goes with it: each row by its whole key. One condition for all of them had SQLite look through
-- every row of the account and region, for each event.

drop trigger search_delete;

create trigger search_delete before delete on event
when old.category = 'Management'
begin
    delete from search where account = old.account and region = old.region
        and attribute = 0 and value = '' and time_ms = old.time_ms and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 1 and value = old.name and time_ms = old.time_ms and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 2 and value = old.source and time_ms = old.time_ms and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 3 and value = cast(old.read_only as text) and time_ms = old.time_ms and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 4 and value = old.user_name and time_ms = old.time_ms and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 5 and value = old.access_key_id and time_ms = old.time_ms and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 6 and value in (select value ->> '$.kind' from json_each(old.resources))
        and time_ms = old.time_ms and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 7 and value in (select value ->> '$.name' from json_each(old.resources))
        and time_ms = old.time_ms and event = old.id;
end;
