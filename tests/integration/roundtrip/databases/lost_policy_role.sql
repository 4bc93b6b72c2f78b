-- A policy and a user mapping of a role that the target lacks: without them others would see more, or nothing.
CREATE ROLE lost_policy_role;
CREATE TABLE t (id int PRIMARY KEY, word text);
INSERT INTO t VALUES (1, 'one');
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY theirs ON t TO lost_policy_role USING (id > 0);
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER far FOREIGN DATA WRAPPER wrapper;
CREATE USER MAPPING FOR lost_policy_role SERVER far OPTIONS (password 'hunter2');

--@ lacking
DROP POLICY theirs ON t;
DROP USER MAPPING FOR lost_policy_role SERVER far;
DROP ROLE lost_policy_role;
