-- Vectors of the sentences of each passage, so that a turn need not compute them. Read with the passage, never searched.

create table sentence_vectors (
    tenant text not null,
    ordinal bigint not null,
    model integer not null references embedding_models (id),
    vectors bytea not null,                     -- int8, a row of the model's dimensions for each sentence, in order
    primary key (tenant, ordinal, model),
    foreign key (tenant, ordinal) references passages (tenant, ordinal) on delete cascade
);
select vital_isolate('sentence_vectors', 'select, insert, update, delete');
-- Digits without a pattern, read whole: compression would only cost time.
alter table sentence_vectors alter column vectors set storage external;
