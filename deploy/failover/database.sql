-- The role and the database of the service, made once on the primary:
-- psql -v password=... -f database.sql
--
-- While a standby is lost, commits wait, and every few seconds a node opens connections beside those that
-- wait: the limit keeps the rest of the server's connections for people and for the failover manager. No
-- superuser: those reach into that rest.
CREATE ROLE orderhook LOGIN PASSWORD :'password' CONNECTION LIMIT 150;
CREATE DATABASE orderhook OWNER orderhook;
