-- Turns and what belongs to them. Keys begin with the tenant, so that no key of one tenant can collide with, or
-- betray, a key of another; identifiers chosen by clients are unique per tenant only.

create function vital_tenant() returns text stable parallel safe language sql
    return nullif(current_setting('vital.tenant', true), '');
comment on function vital_tenant() is 'The tenant of this transaction; null, which equals nothing, outside of one.';

create function vital_isolate(target regclass, rights text) returns void language plpgsql as $$
begin
    execute format('alter table %s enable row level security, force row level security', target);
    execute format('create policy tenant on %s using (tenant = vital_tenant()) with check (tenant = vital_tenant())',
                   target);
    -- Permissive policies are joined by OR: this one keeps any later one from widening the first.
    execute format('create policy tenant_only on %s as restrictive using (tenant = vital_tenant()) '
                   'with check (tenant = vital_tenant())', target);
    execute format('grant %s on %s to vital_app', rights, target);
end
$$;
comment on function vital_isolate(regclass, text) is
    'Binds a table with a tenant column to the transaction''s tenant and gives the application the named rights.';
revoke execute on function vital_isolate(regclass, text) from public;

create table conversations (
    tenant          text not null,
    user_id         text not null,
    id              text not null,
    title           text not null,
    summary         text not null default '',
    summary_through bigint,             -- the last turn that the summary covers (turns.ordinal)
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    primary key (tenant, user_id, id)   -- two people may choose the same identifier
);
create index conversations_recent on conversations (tenant, user_id, updated_at desc);
select vital_isolate('conversations', 'select, insert, update, delete');

create table turns (
    tenant           text not null,
    run_id           text not null,
    ordinal          bigint not null generated always as identity,  -- the order in which turns began
    user_id          text not null,
    conversation     text,
    mode             smallint not null,
    expert           text not null default '',
    question         text not null,
    status           text not null
        check (status in ('running', 'paused', 'complete', 'partial', 'failed', 'cancelled')),
    text             text not null default '',
    receipt          jsonb,
    citations_failed boolean not null default false,
    cost_failed      boolean not null default false,
    fingerprint      bytea,             -- SHA-256 of all that was kept: tells a repeat from a contradiction
    begun_at         timestamptz not null default clock_timestamp(),
    ended_at         timestamptz,
    seconds          double precision,
    primary key (tenant, run_id),
    foreign key (tenant, user_id, conversation) references conversations on delete cascade,
    check ((ended_at is null) = (status in ('running', 'paused'))),
    check ((ended_at is null) = (fingerprint is null))
);
create index turns_recent on turns (tenant, user_id, ordinal desc);
create index turns_of_conversation on turns (tenant, user_id, conversation, ordinal desc)
    where conversation is not null;
create index turns_to_recall on turns (tenant, user_id, conversation, ordinal desc)
    where status = 'complete' and conversation is not null;
create index turns_unfinished on turns (begun_at) where ended_at is null;
select vital_isolate('turns', 'select, insert, update, delete');

-- One row per paid call. Outlives the turn that it paid for, without saying what was asked.
create table ledger (
    tenant    text not null,
    call_id   text not null,
    run_id    text,
    user_id   text not null,
    position  integer not null,
    purpose   text not null,
    model     text not null,
    provider  text not null,
    input     bigint,                   -- tokens; null: the server did not say
    output    bigint,
    cached    bigint,
    reasoning bigint,
    estimated boolean,
    usd       numeric,                  -- null: unknown, never 0
    price     text not null,
    status    text not null,
    booked_at timestamptz not null default now(),
    primary key (tenant, call_id),
    foreign key (tenant, run_id) references turns on delete set null (run_id),
    check ((input is null) = (estimated is null))
);
create index ledger_of_turn on ledger (tenant, run_id);
create index ledger_by_time on ledger (tenant, booked_at);
select vital_isolate('ledger', 'select, insert');

create table citations (
    tenant     text not null,
    run_id     text not null,
    position   integer not null,
    marker     integer not null,
    verdict    text not null,
    sentence   integer not null,
    passage    text not null,
    document   text not null,
    title      text not null,
    page       integer,
    start_char integer not null,
    end_char   integer not null,
    quote      text not null,
    source     text not null,
    score      double precision,
    notes      text[] not null,
    primary key (tenant, run_id, position),
    foreign key (tenant, run_id) references turns on delete cascade
);
create index citations_of_document on citations (tenant, document);
select vital_isolate('citations', 'select, insert');

-- What is known of a person, each with the turn where it was learned; it goes when that turn goes.
create table facts (
    tenant     text not null,
    user_id    text not null,
    ordinal    bigint not null generated always as identity,
    text       text not null,
    source_run text not null,
    learned_at timestamptz not null default now(),
    primary key (tenant, user_id, ordinal),
    unique (tenant, user_id, text),
    foreign key (tenant, source_run) references turns on delete cascade
);
create index facts_of_turn on facts (tenant, source_run);
select vital_isolate('facts', 'select, insert, update, delete');

create table experts (
    tenant     text not null,
    id         text not null,
    profile    jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant, id)
);
select vital_isolate('experts', 'select, insert, update, delete');
