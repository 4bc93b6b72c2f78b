-- Publications of some tables, of schemas, and of all.
CREATE SCHEMA app;
CREATE TABLE app.t (id int PRIMARY KEY, word text);
CREATE TABLE app.other (id int PRIMARY KEY);
CREATE TABLE parted (a int) PARTITION BY RANGE (a);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (9);
INSERT INTO app.t VALUES (1, 'one');
CREATE PUBLICATION several FOR TABLE app.t, ONLY app.other WITH (publish = 'insert, truncate');
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION by_root FOR TABLE parted WITH (publish_via_partition_root);
CREATE PUBLICATION of_nothing;
ALTER PUBLICATION several OWNER TO postgres;
COMMENT ON PUBLICATION several IS 'not all';
\if :from_15
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA app;
CREATE PUBLICATION of_columns FOR TABLE app.t (id);
CREATE PUBLICATION filtered FOR TABLE app.t WHERE (id > 10 AND word <> 'a''b'), TABLE part;
\endif
\if :from_18
CREATE PUBLICATION with_generated FOR TABLE app.t WITH (publish_generated_columns = stored);
\endif

--@ changed
ALTER PUBLICATION several DROP TABLE app.other;
ALTER PUBLICATION several SET (publish = 'delete');
DROP PUBLICATION everything;
ALTER PUBLICATION of_nothing ADD TABLE app.other;
INSERT INTO app.t VALUES (2, 'two');
