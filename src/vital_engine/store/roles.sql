-- The three roles of the engine, for PostgreSQL 16 or later. Run once per server by a superuser (the embedded server does it by itself):
--
--     psql -d postgres -f roles.sql
--     psql -d postgres -c "create database vital owner vital_owner"
--     psql -d vital    -c "create extension vector"
--     psql -d postgres -c "alter role vital_owner password '...'" -c "alter role vital_service password '...'"
--
-- The service then logs in as vital_service, and migrations as vital_owner. Running it again changes nothing.
-- Where one login must do for both, it is vital_owner after "grant vital_app to vital_owner": a statement that got
-- out of its role would still be bound by forced row-level security, but could change the tables.
do $$
declare
    name text;
begin
    foreach name in array array['vital_owner', 'vital_service', 'vital_app'] loop
        begin
            execute format('create role %I', name);
        exception when duplicate_object or unique_violation then
            null;  -- it is there, or another session made it at this moment
        end;
    end loop;
end
$$;

alter role vital_owner with login nosuperuser nobypassrls nocreaterole;
alter role vital_service with login nosuperuser nobypassrls nocreaterole nocreatedb noinherit;
alter role vital_app with nologin nosuperuser nobypassrls nocreaterole nocreatedb;
grant vital_app to vital_service with inherit false, set true;
