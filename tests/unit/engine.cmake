# The engine client, against documents and against an engine of its own that misbehaves on demand.
find_package(Threads REQUIRED)
sp_add_test(NAME test_engine_json LABEL unit SIDE broker SOURCES unit/test_engine_json.c
  LIBS sp_broker)
sp_add_test(NAME test_container_plan LABEL unit SIDE broker SOURCES unit/test_container_plan.c
  LIBS sp_plan)
sp_add_test(NAME test_bind_source LABEL unit SIDE broker SOURCES unit/test_bind_source.c
  LIBS sp_broker)
sp_add_test(NAME test_bind_check LABEL sandbox SIDE broker SOURCES unit/test_bind_check.c
  LIBS sp_broker)
sp_add_test(NAME test_engine_http LABEL unit SIDE broker
  SOURCES unit/test_engine_http.c support/fake_engine.c LIBS sp_broker Threads::Threads)
sp_add_test(NAME test_engine LABEL unit SIDE broker
  SOURCES unit/test_engine.c support/fake_engine.c LIBS sp_broker Threads::Threads)

# By hand and by the end-to-end tests, against a real engine.
add_executable(engine_probe support/engine_probe.c)
sp_side(engine_probe broker)
target_link_libraries(engine_probe PRIVATE sp_broker)
