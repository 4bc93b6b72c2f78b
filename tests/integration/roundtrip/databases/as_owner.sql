-- Backed up and restored by a role that is no superuser and owns the database.
SET ROLE app;
CREATE SCHEMA app;
CREATE EXTENSION hstore SCHEMA app;
CREATE TABLE app.t (id serial PRIMARY KEY, h app.hstore, at date DEFAULT '2026-01-01');
INSERT INTO app.t (h) SELECT app.hstore('a', i::text) FROM generate_series(1, 50) i;
CREATE FUNCTION app.fires() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'fired'; END$$;
CREATE TRIGGER fires BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.fires();
CREATE TABLE app.refers (id int REFERENCES app.t);
INSERT INTO app.refers VALUES (1);
CREATE VIEW app.v AS SELECT id FROM app.t;
CREATE MATERIALIZED VIEW app.m AS SELECT count(*) FROM app.t;
CREATE FUNCTION app.definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
SELECT lo_from_bytea(4711, 'of app');
GRANT SELECT ON app.t TO reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO reader;
CREATE PUBLICATION pub FOR TABLE app.t;
COMMENT ON TABLE app.t IS 'of app';
ALTER DATABASE :"DBNAME" SET search_path = app, public;
COMMENT ON DATABASE :"DBNAME" IS 'of app';

--@ changed
SET ROLE app;
DELETE FROM app.refers;
DROP VIEW app.v;
ALTER TABLE app.t DISABLE TRIGGER fires;
REVOKE SELECT ON app.t FROM reader;
