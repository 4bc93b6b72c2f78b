-- A restore that fails when the subscription is there already: what is cleaned up must not call its publisher.
CREATE TABLE t (n int);
INSERT INTO t VALUES (1);
CREATE MATERIALIZED VIEW fails AS SELECT 1 / n AS a FROM t;
UPDATE t SET n = 0;
CREATE SUBSCRIPTION sub CONNECTION :'publisher' PUBLICATION pub WITH (connect = false, slot_name = 'a_slot');

--@ lacking
REFRESH MATERIALIZED VIEW fails WITH NO DATA;
