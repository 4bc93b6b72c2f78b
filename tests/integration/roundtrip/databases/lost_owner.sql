-- Owners that the target lacks: their tables are the restorer's.
CREATE ROLE lost_owner;
CREATE SCHEMA app AUTHORIZATION lost_owner;
CREATE TABLE app.t (id serial PRIMARY KEY, word text);
INSERT INTO app.t (word) VALUES ('one');
ALTER TABLE app.t OWNER TO lost_owner;
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION app.f() OWNER TO lost_owner;
CREATE TYPE app.color AS ENUM ('red');
ALTER TYPE app.color OWNER TO lost_owner;
CREATE TABLE app.of_app (a int);
ALTER TABLE app.of_app OWNER TO app;

--@ lacking
REASSIGN OWNED BY lost_owner TO postgres;
DROP ROLE lost_owner;
