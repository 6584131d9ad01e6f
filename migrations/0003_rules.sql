-- What else a trail is set to, and what of deleted trails is still to be delivered.

-- JSON list, as PutInsightSelectors took it: [{"InsightType": …}]; null while Insights are off.
alter table trail add column insight_selectors text;

-- 0: no events of CloudTrail's own deliveries.
alter table trail add column recursive_logging integer not null default 1 check (recursive_logging in (0, 1));

-- Trails that are gone while some of their events still wait in the outbox: where these go.
create table deleted_trail (
    trail_id integer primary key,
    deleted_ms integer not null,
    -- JSON, as store/trails.rs reads it.
    trail text not null
) strict;
