-- Organization trails.

-- The organization whose accounts the trail logs; null where it logs its own account alone.
alter table trail add column organization_id text;

-- The accounts of an organization, its management account included, as they were when a trail of it was last set.
create table organization_account (
    organization_id text not null,
    account text not null,
    primary key (organization_id, account)
) strict, without rowid;

create index organization_account_by_account on organization_account (account);

-- CloudTrail's delegated administrators in an organization that keeps none itself: a configured one, or an upstream's
-- that does not know CloudTrail.
create table delegated_administrator (
    organization_id text not null,
    account text not null,
    primary key (organization_id, account)
) strict, without rowid;
