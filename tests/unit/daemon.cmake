# The worker: its modules alone, and the real program with the stock clients. fake_broker plays the
# broker, the engine and the guest; it is on no side, and links neither libssh nor the engine client.
pkg_check_modules(fake_crypto REQUIRED IMPORTED_TARGET libcrypto)
add_executable(fake_broker support/fake_broker.c)
sp_side(fake_broker none)
target_link_libraries(fake_broker PRIVATE sp_common PkgConfig::fake_crypto)

sp_add_test(NAME test_ssh_signal LABEL unit SIDE daemon SOURCES unit/test_ssh_signal.c
  LIBS sp_daemon)
sp_add_test(NAME test_algorithms LABEL unit SIDE daemon SOURCES unit/test_algorithms.c LIBS sp_daemon)
sp_add_test(NAME test_x11_auth LABEL unit SIDE daemon SOURCES unit/test_x11_auth.c LIBS sp_daemon)
sp_add_test(NAME test_hooks LABEL unit SIDE daemon SOURCES unit/test_hooks.c LIBS sp_daemon)
sp_add_test(NAME test_client_socket LABEL unit SIDE daemon SOURCES unit/test_client_socket.c LIBS sp_daemon)
sp_add_test(NAME test_ask LABEL unit SIDE daemon SOURCES unit/test_ask.c LIBS sp_daemon)
sp_add_test(NAME test_exec_stream LABEL unit SIDE daemon SOURCES unit/test_exec_stream.c
  LIBS sp_daemon)
sp_add_test(NAME test_worker_activity LABEL unit SIDE daemon SOURCES unit/test_worker_activity.c
  LIBS sp_daemon)
sp_add_test(NAME test_worker_sandbox LABEL sandbox SIDE daemon SOURCES unit/test_worker_sandbox.c
  LIBS sp_daemon sp_sandbox_rules PkgConfig::libseccomp TIMEOUT 180)
target_compile_definitions(test_worker_sandbox PRIVATE
  SP_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")

sp_add_test(NAME test_worker LABEL regress SIDE none SOURCES unit/test_worker.c LIBS sp_common
  TIMEOUT 900)
target_compile_definitions(test_worker PRIVATE FAKE_BROKER="$<TARGET_FILE:fake_broker>"
  SALLYPORTD="$<TARGET_FILE:sallyportd>"
  HOSTILE_CLIENT="${PROJECT_SOURCE_DIR}/tests/support/hostile_client.py"
  LIBSSH_HAS_POST_QUANTUM=$<VERSION_GREATER_EQUAL:${libssh_VERSION},0.12>
  LIBSSH_HAS_NO_MORE_SESSIONS=$<VERSION_GREATER_EQUAL:${libssh_VERSION},0.11>)
add_dependencies(test_worker fake_broker sallyportd)
# The longest of all: it begins first, so that nothing waits for it in the end.
set_tests_properties(test_worker PROPERTIES COST 60)

sp_add_test(NAME test_worker_start LABEL regress SIDE none SOURCES unit/test_worker_start.c
  LIBS sp_common)
target_compile_definitions(test_worker_start PRIVATE SALLYPORTD="$<TARGET_FILE:sallyportd>")
add_dependencies(test_worker_start sallyportd)

# A worker that has been taken over: the real broker starts it in the black-box tests. It has the
# worker's own lock-down, from the objects of this build, and is never installed.
add_executable(sallyportd-evil support/evil_worker.c support/evil_calls.c)
sp_side(sallyportd-evil daemon)
target_link_libraries(sallyportd-evil PRIVATE sp_daemon)
