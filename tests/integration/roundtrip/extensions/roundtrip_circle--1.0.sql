CREATE TABLE circle_one (id int PRIMARY KEY, two int);
CREATE TABLE circle_two (id int PRIMARY KEY, one int REFERENCES circle_one DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE circle_one ADD FOREIGN KEY (two) REFERENCES circle_two DEFERRABLE INITIALLY DEFERRED;
SELECT pg_extension_config_dump('circle_one', '');
SELECT pg_extension_config_dump('circle_two', '');
