-- Events that follow each other have much in common: what they are found by is one row for those of a second, not one
-- for each. CloudTrail tells times in whole seconds, and so they are compared.

create table block (
    account text not null,
    region text not null,
    -- 0: every event, 1: EventName, 2: EventSource, 3: ReadOnly, 4: Username, 5: AccessKeyId, 6: ResourceType,
    -- 7: ResourceName.
    attribute integer not null,
    value text not null,
    -- eventTime, in whole seconds.
    time_ms integer not null,
    -- The last one. The row goes with it: events are forgotten in the order of their ids.
    event integer not null,
    -- All of them, the last one first: a JSON list of ids. Null where there is one only.
    events text,
    primary key (account, region, attribute, value, time_ms, event)
) strict, without rowid;

insert or ignore into block (account, region, attribute, value, time_ms, event)
select account, region, attribute, value, time_ms - time_ms % 1000, event from search
order by account, region, attribute, value, time_ms - time_ms % 1000, event;

drop trigger search_fill;
drop trigger search_delete;
drop table search;
alter table block rename to search;

create trigger search_delete before delete on event
when old.category = 'Management'
begin
    delete from search where account = old.account and region = old.region
        and attribute = 0 and value = '' and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 1 and value = old.name and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 2 and value = old.source and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 3 and value = cast(old.read_only as text)
        and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 4 and value = old.user_name and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 5 and value = old.access_key_id
        and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 6 and value in (select value ->> '$.kind' from json_each(old.resources))
        and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
    delete from search where account = old.account and region = old.region
        and attribute = 7 and value in (select value ->> '$.name' from json_each(old.resources))
        and time_ms = old.time_ms - old.time_ms % 1000 and event = old.id;
end;
