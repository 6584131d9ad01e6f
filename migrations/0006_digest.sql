-- Digest files: who is digested, the chains, the digests that are on their way, and the keys that sign them.

-- What a digest says of a log file: hex SHA-256 of its JSON, known once it has been delivered, and the range of
-- eventTime in it.
alter table log_file add column sha256 text;
alter table log_file add column oldest_ms integer not null default 0;
alter table log_file add column newest_ms integer not null default 0;
-- Delivered, and still to be named by a digest of this kind.
alter table log_file add column awaits text check (awaits in ('digest', 'backfill'));

update log_file set oldest_ms = slot_start_ms, newest_ms = slot_end_ms;

create index log_file_by_awaits on log_file (trail_id, awaits) where awaits is not null;

-- A time in which the log files of a trail are digested: validation is on, and the trail logs.
create table digest_run (
    digest_run_id integer primary key,
    trail_id integer not null,
    -- Whole seconds. Its digests end at whole hours from here.
    start_ms integer not null,
    -- When validation or logging ended; null while both are on.
    stop_ms integer,
    -- When its last digest is due; null as long as stop_ms is.
    last_ms integer,
    -- Whether its last digest has been made.
    is_closed integer not null default 0 check (is_closed in (0, 1))
) strict;

create index digest_run_by_trail on digest_run (trail_id, is_closed);

-- The newest digest of each chain, which the next one names. A trail that is made anew under the same name goes on
-- here, so that no digest takes an earlier one's key.
create table digest_chain (
    trail_arn text not null,
    -- The account and region that the digests cover.
    account text not null,
    region text not null,
    is_backfill integer not null check (is_backfill in (0, 1)),
    -- A digest of a new run starts a chain and names no other.
    digest_run_id integer not null,
    bucket text not null,
    key text not null,
    -- Hex SHA-256 of its JSON.
    sha256 text not null,
    signature text not null,
    end_ms integer not null,
    primary key (trail_arn, account, region, is_backfill)
) strict, without rowid;

-- Digests that have been made and are not yet delivered. Key and body are fixed before the first upload, so that every
-- try writes the same object.
create table digest (
    digest_id integer primary key,
    trail_id integer not null,
    trail_arn text not null,
    account text not null,
    region text not null,
    bucket text not null,
    key text not null,
    body text not null,
    -- Hex SHA-256 of the body.
    sha256 text not null,
    -- Hex.
    signature text not null,
    is_backfill integer not null check (is_backfill in (0, 1)),
    -- 0 of backfill digests.
    digest_run_id integer not null,
    end_ms integer not null,
    made_ms integer not null,
    delivered_ms integer
) strict;

-- Keys of digests, each of one region.
create table digest_key (
    fingerprint text primary key,
    region text not null,
    start_ms integer not null,
    end_ms integer not null,
    -- PKCS#1 DER.
    public_key blob not null,
    -- PKCS#8 DER.
    private_key blob not null
) strict, without rowid;

create unique index digest_key_by_region on digest_key (region, start_ms);

-- Steps that sum up what others have delivered wait until no other step is due.
alter table outbox add column waits integer not null default 0 check (waits in (0, 1));

create index outbox_by_wait on outbox (waits, due_ms, id);

-- Uploads are known by what they upload, so that its delivery can end them.
update outbox set dedupe = 'upload:' || json_extract(step, '$.log_file_id') where json_extract(step, '$.kind') = 'upload';

-- What follows from a digest made, a digest delivered and a log file delivered is written by triggers, so that each is
-- one statement and thus one transaction, with one trip to the database: a month of clock has thousands of them.

create trigger digest_insert after insert on digest
begin
    insert or replace into digest_chain
        (trail_arn, account, region, is_backfill, digest_run_id, bucket, key, sha256, signature, end_ms)
    values (new.trail_arn, new.account, new.region, new.is_backfill, new.digest_run_id, new.bucket, new.key,
            new.sha256, new.signature, new.end_ms);
    insert into outbox (step, dedupe, due_ms, created_ms)
    values (json_object('kind', 'upload_digest', 'digest_id', new.digest_id), 'upload_digest:' || new.digest_id,
            new.made_ms, new.made_ms);
end;

create trigger digest_delivered after update of delivered_ms on digest
begin
    insert into delivery_status (trail_id, region, digest_ms, digest_attempt_ms)
    select trail_id, new.region, new.delivered_ms, new.delivered_ms from trail where trail_id = new.trail_id
    on conflict (trail_id, region) do update set
        digest_ms = excluded.digest_ms, digest_attempt_ms = excluded.digest_attempt_ms, digest_error = null;
    delete from outbox where dedupe = 'upload_digest:' || new.digest_id;
    delete from digest where digest_id = new.digest_id;
end;

create trigger log_file_delivered after update of delivered_ms on log_file
begin
    insert into delivery_status (trail_id, region, delivery_ms, delivery_attempt_ms)
    select trail_id, new.region, new.delivered_ms, new.delivered_ms from trail where trail_id = new.trail_id
    on conflict (trail_id, region) do update set
        delivery_ms = excluded.delivery_ms, delivery_attempt_ms = excluded.delivery_attempt_ms, delivery_error = null;
    delete from outbox where dedupe = 'upload:' || new.id;
    -- Due an hour from now, together with what else comes late.
    insert into outbox (step, dedupe, waits, due_ms, created_ms)
    select json_object('kind', 'backfill', 'trail_id', new.trail_id), 'backfill:' || new.trail_id, 1,
           new.delivered_ms + 3600000, new.delivered_ms
    where new.awaits = 'backfill'
    on conflict (dedupe) do nothing;
end;
