-- A schema that is frozen: nothing may be made or dropped while the event trigger is enabled.
CREATE SCHEMA app;
CREATE TABLE app.t (id int PRIMARY KEY, word text);
INSERT INTO app.t VALUES (1, 'one');
CREATE VIEW app.v AS SELECT * FROM app.t;
CREATE FUNCTION app.frozen() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'the schema is frozen: %', tg_tag; END$$;
SELECT lo_from_bytea(4711, 'frozen too');
GRANT SELECT ON app.t TO reader;
CREATE EVENT TRIGGER no_change ON ddl_command_start EXECUTE FUNCTION app.frozen();
CREATE EVENT TRIGGER no_change_at_end ON ddl_command_end EXECUTE FUNCTION app.frozen();
CREATE EVENT TRIGGER no_drop ON sql_drop EXECUTE FUNCTION app.frozen();

--@ changed
ALTER EVENT TRIGGER no_change DISABLE;
ALTER EVENT TRIGGER no_change_at_end DISABLE;
ALTER EVENT TRIGGER no_drop DISABLE;
ALTER TABLE app.t ADD COLUMN later int;
UPDATE app.t SET word = 'changed';
-- One that the backup does not know.
CREATE FUNCTION app.frozen_later() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'frozen later: %', tg_tag; END$$;
CREATE EVENT TRIGGER no_later_change ON ddl_command_start EXECUTE FUNCTION app.frozen_later();
ALTER EVENT TRIGGER no_change ENABLE;
ALTER EVENT TRIGGER no_drop ENABLE ALWAYS;

--@ stays
DROP EVENT TRIGGER no_later_change;
ALTER EVENT TRIGGER no_change DISABLE;
ALTER EVENT TRIGGER no_change_at_end DISABLE;
ALTER EVENT TRIGGER no_drop DISABLE;
DROP FUNCTION app.frozen_later();
ALTER EVENT TRIGGER no_change ENABLE;
ALTER EVENT TRIGGER no_change_at_end ENABLE;
ALTER EVENT TRIGGER no_drop ENABLE;
