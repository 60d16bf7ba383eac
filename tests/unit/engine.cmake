# The engine client, against documents and against an engine of its own that misbehaves on demand.
find_package(Threads REQUIRED)
sp_add_test(NAME test_engine_json LABEL unit SIDE broker SOURCES unit/test_engine_json.c
  LIBS sp_broker)
