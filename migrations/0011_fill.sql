-- What events are found by is filled in as it comes: to sort a batch took as long as to store it. Its rows are written
-- in one transaction, each page of them once, whatever their order.

drop trigger search_fill;

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
    select account, region, attribute, value, time_ms, event from attribute where value is not null;
end;
