pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto)

sp_add_test(NAME test_audit LABEL unit SIDE broker SOURCES unit/test_audit.c LIBS sp_broker)
sp_add_test(NAME test_dispatch LABEL unit SIDE broker SOURCES unit/test_dispatch.c LIBS sp_broker)
target_compile_definitions(test_dispatch PRIVATE
  SP_PROTOCOL_MD="${PROJECT_SOURCE_DIR}/common/PROTOCOL.md")
sp_add_test(NAME test_activity LABEL unit SIDE broker SOURCES unit/test_activity.c LIBS sp_broker)
sp_add_test(NAME test_ceilings LABEL unit SIDE broker SOURCES unit/test_ceilings.c LIBS sp_broker)
sp_add_test(NAME test_user_containers LABEL unit SIDE broker
  SOURCES unit/test_user_containers.c support/fake_engine.c LIBS sp_broker Threads::Threads)
target_link_options(test_user_containers PRIVATE -Wl,--wrap=kernel_account_check_docker)
sp_add_test(NAME test_kernel_account LABEL unit SIDE broker SOURCES unit/test_kernel_account.c
  LIBS sp_broker)
sp_add_test(NAME test_oom_count LABEL unit SIDE broker SOURCES unit/test_oom_count.c LIBS sp_broker)
sp_add_test(NAME test_engine_turns LABEL unit SIDE broker SOURCES unit/test_engine_turns.c LIBS sp_broker)
sp_add_test(NAME test_data_path_reach LABEL unit SIDE broker
  SOURCES unit/test_data_path_reach.c LIBS sp_broker)
sp_add_test(NAME test_engine_mark LABEL unit SIDE broker SOURCES unit/test_engine_mark.c LIBS sp_broker)
sp_add_test(NAME test_write_budget LABEL unit SIDE broker SOURCES unit/test_write_budget.c
  LIBS sp_broker)
sp_add_test(NAME test_admission LABEL unit SIDE broker SOURCES unit/test_admission.c LIBS sp_broker)
sp_add_test(NAME test_proxy_header LABEL unit SIDE broker SOURCES unit/test_proxy_header.c
  LIBS sp_broker)
sp_add_test(NAME test_instance LABEL unit SIDE broker SOURCES unit/test_instance.c LIBS sp_broker)
sp_add_test(NAME test_worker_clone LABEL sandbox SIDE broker
  SOURCES unit/test_worker_clone.c LIBS sp_broker)
sp_add_test(NAME test_worker_space LABEL sandbox SIDE broker
  SOURCES unit/test_worker_space.c LIBS sp_broker)
sp_add_test(NAME test_listener LABEL unit SIDE broker SOURCES unit/test_listener.c LIBS sp_broker)
target_link_options(test_listener PRIVATE -Wl,--wrap=socket)
sp_add_test(NAME test_notify LABEL unit SIDE broker SOURCES unit/test_notify.c LIBS sp_broker)
sp_add_test(NAME test_uid_range LABEL unit SIDE broker SOURCES unit/test_uid_range.c LIBS sp_broker)
sp_add_test(NAME test_spawner LABEL sandbox SIDE broker SOURCES unit/test_spawner.c LIBS sp_broker)
