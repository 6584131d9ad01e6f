-- The events of a slot that trails take, for its cut: events that were brought in for times to come lie between those of
-- other slots.
create index event_by_slot on event (slot_start_ms, slot_end_ms, id) where takers is not null;
