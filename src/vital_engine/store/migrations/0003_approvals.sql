-- Turns that wait for a person, the calls that they wait for, and who speaks in a conversation.

create table paused_turns (
    tenant    text not null,
    run_id    text not null,
    user_id   text not null,
    state     jsonb not null,              -- what the turn had made, with the version of its form
    fence     bigint not null default 0,   -- grows with each claim: who holds an older one is refused
    held_until timestamptz,                -- until when the latest claim holds; null: never claimed
    paused_at timestamptz not null default clock_timestamp(),
    primary key (tenant, run_id),
    foreign key (tenant, run_id) references turns on delete cascade
);
create index paused_turns_of_user on paused_turns (tenant, user_id, paused_at);
select vital_isolate('paused_turns', 'select, insert, update, delete');

create table approvals (
    tenant         text not null,
    run_id         text not null,
    id             text not null,
    position       integer not null,
    tool           text not null,
    effect         text not null,
    status         text not null check (status in ('proposed', 'approved', 'rejected', 'edited', 'expired', 'started',
                                                   'done', 'failed', 'outcome_unknown')),
    arguments_hash text not null,          -- SHA-256, in hex, of the canonical arguments that would run
    definition     text not null,          -- of the tool, when the call was proposed
    key            text not null,          -- the idempotency key, fixed when the call is proposed
    expires_at     timestamptz not null,
    decided_by     text not null default '',
    settled_at     timestamptz,
    attempts       integer not null default 0,
    approval       jsonb not null,         -- the whole of it, with the version of its form
    primary key (tenant, run_id, id),
    unique (tenant, key),
    foreign key (tenant, run_id) references paused_turns on delete cascade
);
create index approvals_by_id on approvals (tenant, id);
create index approvals_open on approvals (tenant, expires_at) where status = 'proposed';
select vital_isolate('approvals', 'select, insert, update, delete');

-- A place in the line of a conversation. The lowest ticket that lives speaks; it is the fencing token.
create table conversation_tickets (
    tenant       text not null,
    user_id      text not null,
    conversation text not null,
    run_id       text not null,
    ticket       bigint not null generated always as identity,
    held_until   timestamptz not null,
    primary key (tenant, user_id, conversation, run_id)
);
create unique index conversation_tickets_line on conversation_tickets (tenant, user_id, conversation, ticket);
select vital_isolate('conversation_tickets', 'select, insert, update, delete');
