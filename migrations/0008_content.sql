-- The content of small objects lies in their rows: a file for each costs more than all else about it.

-- Null where the object is empty, or `blob` names the file that has it.
alter table object add column content blob;
