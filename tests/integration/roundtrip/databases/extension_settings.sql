-- Rows of an extension's configuration tables: the users' come back, the extension's own are as it ships them.
CREATE EXTENSION roundtrip_settings;
INSERT INTO settings_values VALUES ('mine', 'kept'), ('too', 'also kept');
INSERT INTO settings_log (word) SELECT 'line ' || i FROM generate_series(1, 20) i;
GRANT SELECT ON settings_values TO reader;

--@ changed
DELETE FROM settings_values WHERE name = 'mine';
INSERT INTO settings_values VALUES ('newer', 'gone');
DELETE FROM settings_log WHERE id > 5;
SELECT setval('settings_log_id_seq', 100);
