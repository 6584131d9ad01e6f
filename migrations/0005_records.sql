-- Records of what localtrail itself calls to deliver (a log file written, a topic told), by the trails that take them.
--
-- Such a record never has a log file of its own: written, that file would be the next such record, for ever. It waits
-- here, and rides along with the trail's next log file of its account and region that is cut for other events.
create table rider (
    trail_id    integer not null,
    event       integer not null references event (id) on delete cascade,
    -- The log file that it went into; null while it waits.
    log_file_id integer,
    primary key (trail_id, event)
) strict, without rowid;

create index rider_waiting on rider (trail_id, event) where log_file_id is null;
create index rider_by_log_file on rider (log_file_id, event) where log_file_id is not null;
create index rider_by_event on rider (event);
