-- What LookupEvents finds events by is filled in behind the events, many at a time and in the order of its keys: so an
-- event is stored with far fewer pages written. A search takes those that are not yet in here from their own rows.

drop trigger event_resource_insert;
drop table event_resource;
drop index event_by_time;
drop index event_by_name;
drop index event_by_source;
drop index event_by_user;
drop index event_by_access_key;

-- What management events up to search_progress are found by. No reference to event: checking it would need an index of
-- its own; a trigger deletes with the event.
create table search (
    account text not null,
    region text not null,
    -- 0: every event, 1: EventName, 2: EventSource, 3: ReadOnly, 4: Username, 5: AccessKeyId, 6: ResourceType,
    -- 7: ResourceName.
    attribute integer not null,
    value text not null,
    -- eventTime.
    time_ms integer not null,
    event integer not null,
    primary key (account, region, attribute, value, time_ms, event)
) strict, without rowid;

-- The last event that is in search; no row before the first.
create table search_progress (
    one integer primary key check (one = 1),
    last_event integer not null
) strict;

-- To move the progress on is to fill in what lies between.
create trigger search_fill before insert on search_progress
begin
    insert or ignore into search (account, region, attribute, value, time_ms, event)
    with batch as materialized (
        select id, account, region, time_ms, name, source, read_only, user_name, access_key_id, resources from event
        where id > coalesce((select last_event from search_progress), 0) and id <= new.last_event
          and category = 'Management'
    ), resource as materialized (
        select account, region, time_ms, batch.id, value ->> '$.kind' as kind, value ->> '$.name' as name
        from batch, json_each(resources)
    ), attribute (account, region, attribute, value, time_ms, event) as (
        select account, region, 0, '', time_ms, id from batch
        union all select account, region, 1, name, time_ms, id from batch
        union all select account, region, 2, source, time_ms, id from batch
        union all select account, region, 3, read_only, time_ms, id from batch
        union all select account, region, 4, user_name, time_ms, id from batch
        union all select account, region, 5, access_key_id, time_ms, id from batch
        union all select account, region, 6, kind, time_ms, id from resource
        union all select account, region, 7, name, time_ms, id from resource
    )
    select account, region, attribute, value, time_ms, event from attribute where value is not null
    order by account, region, attribute, value, time_ms, event;
end;

create trigger search_delete before delete on event
when old.category = 'Management'
begin
    delete from search
    where account = old.account and region = old.region and time_ms = old.time_ms and event = old.id
      and (attribute, value) in (
          select 0, ''
          union all select 1, old.name
          union all select 2, old.source
          union all select 3, cast(old.read_only as text)
          union all select 4, old.user_name
          union all select 5, old.access_key_id
          union all select 6, value ->> '$.kind' from json_each(old.resources)
          union all select 7, value ->> '$.name' from json_each(old.resources)
      );
end;

insert into search_progress (one, last_event) select 1, max(id) from event having max(id) is not null;
