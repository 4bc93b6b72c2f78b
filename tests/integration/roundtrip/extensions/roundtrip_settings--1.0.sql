CREATE TABLE settings_values (name text PRIMARY KEY, value text);
INSERT INTO settings_values VALUES ('shipped', 'by the extension');
SELECT pg_extension_config_dump('settings_values', 'WHERE name <> ''shipped''');
CREATE TABLE settings_log (id serial PRIMARY KEY, word text);
SELECT pg_extension_config_dump('settings_log', '');
SELECT pg_extension_config_dump('settings_log_id_seq', '');
CREATE TABLE settings_fixed (a int);
INSERT INTO settings_fixed VALUES (1);
