-- A vector of each turn of a conversation, by which later questions find it again. It goes when its turn goes.

create table turn_vectors (
    tenant       text not null,
    run_id       text not null,
    user_id      text not null,
    conversation text not null,
    ordinal      bigint not null,       -- turns.ordinal: the order of the conversation
    model        text not null,         -- whose vector it is; that of another model takes its place
    embedding    halfvec not null,
    primary key (tenant, run_id),
    foreign key (tenant, run_id) references turns on delete cascade
);
-- A search reads one conversation, and compares the question with each turn of it: no index of neighbours is needed.
create index turn_vectors_of_conversation on turn_vectors (tenant, user_id, conversation, ordinal);
select vital_isolate('turn_vectors', 'select, insert, update, delete');
