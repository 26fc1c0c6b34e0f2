-- Documents, their passages, the vectors and the lexical index of those. Passages have an ordinal that counts per
-- tenant, is given once and never again: it is what both indexes hold.

create table knowledge_index (
    tenant text primary key,
    version bigint not null default 0,          -- goes up by every change of what a search could find
    next_ordinal bigint not null default 0 check (next_ordinal <= 4294967296),
    analysis text not null,                     -- how text became terms; two analyses never share an index
    dead bytea not null default ''              -- uint32 ascending: deleted passages that still stand in a segment
);
select vital_isolate('knowledge_index', 'select, insert, update, delete');

create table documents (
    tenant text not null,
    id text not null,
    title text not null,
    source text not null,
    domain text not null,
    media_type text not null,
    content_hash text not null,
    text text not null,
    pages integer[] not null,                   -- number, start and end (in characters of text) of each page
    metadata jsonb not null,
    passages integer not null,
    created_at timestamptz not null default now(),
    primary key (tenant, id)
);
create index documents_by_domain on documents (tenant, domain, id);
select vital_isolate('documents', 'select, insert, update, delete');

create table passages (
    tenant text not null,
    ordinal bigint not null,
    document text not null,
    number integer not null,                    -- within the document, from 0
    starts_at integer not null,                 -- characters of documents.text, half open
    ends_at integer not null check (ends_at >= starts_at),
    page integer,
    domain text not null,
    text text not null,
    tokens integer not null,                    -- about how many: no model's tokenizer is asked
    primary key (tenant, ordinal),
    unique (tenant, document, number),
    foreign key (tenant, document) references documents (tenant, id) on delete cascade
);
select vital_isolate('passages', 'select, insert, update, delete');

-- Names of models, no tenant's data. A model's vectors have an index of their own (vectors_of_model_<id>), which is
-- made when the model is registered: its number of dimensions is part of it.
create table embedding_models (
    id integer generated always as identity primary key,
    name text not null unique,
    dimensions integer not null check (dimensions between 1 and 4000)
);
grant select on embedding_models to vital_app;

create table vectors (
    tenant text not null,
    model integer not null references embedding_models (id),
    ordinal bigint not null,
    domain text not null,
    embedding halfvec not null,
    primary key (tenant, model, ordinal),
    foreign key (tenant, ordinal) references passages (tenant, ordinal) on delete cascade
);
create index vectors_by_passage on vectors (tenant, ordinal);
create index vectors_by_domain on vectors (tenant, model, domain);
select vital_isolate('vectors', 'select, insert, update, delete');

create table lexical_segments (
    tenant text not null,
    id bigint generated always as identity,
    domain text not null,
    first bigint not null,                      -- ordinals of its first and last passage
    last bigint not null,
    passages integer not null,
    lengths bytea not null,                     -- (ordinal uint32, terms uint32) ascending, little-endian
    primary key (tenant, id)
);
select vital_isolate('lexical_segments', 'select, insert, update, delete');

create table lexical_postings (
    tenant text not null,
    segment bigint not null,
    term text collate "C" not null,
    postings bytea not null,                    -- (ordinal uint32, frequency uint8) ascending, little-endian
    primary key (tenant, segment, term)         -- no foreign key: checking thousands of rows would take the time of
);                                              -- writing them; both tables are only changed together, under one lock
select vital_isolate('lexical_postings', 'select, insert, update, delete');
-- Postings hardly compress by the database's own method, and are read whole: compression would only cost time.
alter table lexical_postings alter column postings set storage external;
alter table lexical_segments alter column lengths set storage external;
