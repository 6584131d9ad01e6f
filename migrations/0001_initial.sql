-- Trails, their tags, and how delivery fares.

create table trail (
    -- Never used again: events name the trails that take them by id.
    trail_id integer primary key autoincrement,
    account text not null,
    home_region text not null,
    name text not null,
    s3_bucket_name text not null,
    s3_key_prefix text,
    -- As the caller gave it: a name or an ARN.
    sns_topic_name text,
    sns_topic_arn text,
    include_global_service_events integer not null check (include_global_service_events in (0, 1)),
    is_multi_region integer not null check (is_multi_region in (0, 1)),
    log_file_validation integer not null check (log_file_validation in (0, 1)),
    cloud_watch_logs_log_group_arn text,
    cloud_watch_logs_role_arn text,
    kms_key_id text,
    is_logging integer not null check (is_logging in (0, 1)),
    -- The last start and the last stop; both stay when the other comes.
    start_logging_ms integer,
    stop_logging_ms integer,
    -- JSON: {"EventSelectors": …} or {"AdvancedEventSelectors": …}; null until PutEventSelectors.
    selectors text,
    unique (account, home_region, name)
) strict;

create table trail_tag (
    -- Keeps the order in which tags were added.
    trail_tag_id integer primary key,
    trail_id integer not null references trail on delete cascade,
    key text not null,
    -- Null where the caller gave none, which is not the same as ''.
    value text,
    unique (trail_id, key)
) strict;

-- What GetTrailStatus tells, by the region that was delivered. `_ms` is the last success, `_attempt_ms` the last
-- attempt, `_error` the code of the failure that is not yet made good.
create table delivery_status (
    trail_id integer not null references trail on delete cascade,
    region text not null,
    delivery_ms integer,
    delivery_attempt_ms integer,
    delivery_error text,
    notification_ms integer,
    notification_attempt_ms integer,
    notification_error text,
    digest_ms integer,
    digest_attempt_ms integer,
    digest_error text,
    logs_ms integer,
    logs_attempt_ms integer,
    logs_error text,
    primary key (trail_id, region)
) strict, without rowid;

-- Work that is due: one row a step. A step that is done deletes its row in the transaction that writes its outcome.
create table outbox (
    id         integer primary key,
    -- The step as JSON, see store/outbox.rs.
    step       text    not null,
    -- At most one row for each value: several events of one slot want one cut.
    dedupe     text    unique,
    due_ms     integer not null,
    created_ms integer not null,
    attempts   integer not null default 0,
    last_error text
) strict;

create index outbox_by_due on outbox (due_ms, id);

-- Log files that have been cut. The key is fixed before the first upload, so that every try writes the same object.
create table log_file (
    id           integer primary key,
    trail_id     integer not null,
    account      text    not null,
    region       text    not null,
    bucket       text    not null,
    key          text    not null unique,
    -- The file holds the events that the trail takes, of this account and region, with ids in this range that came in
    -- within this slot.
    first_event  integer not null,
    last_event   integer not null,
    slot_start_ms integer not null,
    slot_end_ms  integer not null,
    events       integer not null,
    delivered_ms integer
) strict;

create index log_file_by_trail on log_file (trail_id, delivered_ms);

-- Recorded events: the whole record as JSON, and beside it just what is searched.
create table event (
    -- Order of recording.
    id             integer primary key,
    event_id       text    not null unique,
    account        text    not null,
    region         text    not null,
    -- eventTime.
    time_ms        integer not null,
    -- The delivery slot that it came in in.
    slot_start_ms  integer not null,
    slot_end_ms    integer not null,
    source         text    not null,
    name           text    not null,
    read_only      integer,
    category       text    not null,
    user_name      text,
    access_key_id  text,
    -- JSON list of {kind, name}, as LookupEvents shows them.
    resources      text    not null,
    record         text    not null,
    -- The trails that take the event, by id: [3,7]. Null where none does.
    takers         text
) strict;

create index event_by_time on event (account, region, time_ms, id) where category = 'Management';
create index event_by_name on event (account, region, name, time_ms, id) where category = 'Management';
create index event_by_source on event (account, region, source, time_ms, id) where category = 'Management';
create index event_by_user on event (account, region, user_name, time_ms, id) where category = 'Management';
create index event_by_access_key on event (account, region, access_key_id, time_ms, id) where category = 'Management';

-- The resources of management events, for LookupEvents by ResourceType and ResourceName.
create table event_resource (
    event   integer not null references event (id) on delete cascade,
    account text    not null,
    region  text    not null,
    time_ms integer not null,
    kind    text,
    name    text    not null
) strict;

create index event_resource_by_event on event_resource (event);
create index event_resource_by_name on event_resource (account, region, name, time_ms, event);
create index event_resource_by_kind on event_resource (account, region, kind, time_ms, event);

-- What follows from an event is written by triggers, so that storing many events is one statement and thus one
-- transaction, with one trip to the database.
create trigger event_resource_insert after insert on event
when new.category = 'Management' and new.resources <> '[]'
begin
    insert into event_resource (event, account, region, time_ms, kind, name)
    select new.id, new.account, new.region, new.time_ms,
           json_extract(resource.value, '$.kind'), json_extract(resource.value, '$.name')
    from json_each(new.resources) as resource;
end;

-- The first event that a trail takes of a slot has the slot cut into log files when it ends.
create trigger event_cut_insert after insert on event
when new.takers is not null
begin
    insert into outbox (step, dedupe, due_ms, created_ms)
    select json_object('kind', 'cut', 'trail_id', trail.value, 'first_event', new.id,
                       'slot_start_ms', new.slot_start_ms, 'slot_end_ms', new.slot_end_ms),
           'cut:' || trail.value || ':' || new.slot_start_ms || ':' || new.slot_end_ms,
           new.slot_end_ms, new.slot_start_ms
    from json_each(new.takers) as trail
    where true
    on conflict (dedupe) do nothing;
end;

-- The embedded S3, SNS and STS.

-- Buckets of all accounts and regions: their names are global.
create table bucket (
    name text primary key,
    account text not null,
    region text not null,
    created_ms integer not null
) strict, without rowid;

-- Documents attached to a bucket, by S3's name of the sub-resource: policy, acl, tagging, encryption.
create table bucket_setting (
    bucket text not null references bucket (name) on delete cascade,
    name text not null,
    value text not null,
    primary key (bucket, name)
) strict, without rowid;

-- Deleting a bucket that has objects fails on the reference.
create table object (
    bucket text not null references bucket (name),
    -- Bytes, so that keys sort in S3's order: that of their UTF-8.
    key blob not null,
    size_bytes integer not null,
    -- Without its quotes.
    etag text not null,
    modified_ms integer not null,
    -- Name of the file that has the content; null where there is none.
    blob text,
    -- JSON: headers, metadata, encryption, checksum.
    attributes text not null,
    -- JSON.
    acl text not null,
    -- JSON: pairs of key and value.
    tags text not null,
    primary key (bucket, key)
) strict, without rowid;

-- Multipart uploads in progress.
create table upload (
    id text primary key,
    bucket text not null references bucket (name) on delete cascade,
    key blob not null,
    account text not null,
    created_ms integer not null,
    -- JSON, as the object will have them.
    attributes text not null,
    acl text not null,
    tags text not null
) strict, without rowid;

create index upload_by_key on upload (bucket, key, id);

create table part (
    upload text not null references upload (id) on delete cascade,
    number integer not null,
    size_bytes integer not null,
    etag text not null,
    -- JSON.
    checksum text not null,
    modified_ms integer not null,
    blob text,
    primary key (upload, number)
) strict, without rowid;

create table topic (
    arn text primary key,
    account text not null,
    region text not null,
    created_ms integer not null,
    -- JSON object of those that were set.
    attributes text not null,
    -- JSON: pairs of key and value.
    tags text not null
) strict, without rowid;

create index topic_by_account on topic (account, region, arn);

create table subscription (
    arn text primary key,
    topic text not null references topic (arn) on delete cascade,
    account text not null,
    region text not null,
    protocol text not null,
    endpoint text not null,
    -- What confirms it; null once it is confirmed.
    token text,
    -- JSON object of those that were set.
    attributes text not null
) strict, without rowid;

create unique index subscription_by_topic on subscription (topic, protocol, endpoint);
create index subscription_by_account on subscription (account, region, arn);

-- The newest messages published, for a test to look at.
create table message (
    id integer primary key,
    message_id text not null,
    topic text not null references topic (arn) on delete cascade,
    subject text,
    body text not null,
    published_ms integer not null
) strict;

create index message_by_topic on message (topic, id);

-- Unique ids of roles, made up when a role is first assumed: the same role has the same id ever after.
create table role (
    arn text primary key,
    role_id text not null
) strict, without rowid;

-- Who calls with which access key, as learned from the answers of IAM and STS. No secret and no token is kept.
create table identity (
    access_key_id text primary key,
    -- A Principal as JSON, see event/mod.rs.
    principal     text not null
) strict;

-- IAM users seen: an access key's record needs the user's id and path.
create table iam_user (
    account   text not null,
    user_name text not null,
    user_id   text not null,
    arn       text not null,
    primary key (account, user_name)
) strict;
