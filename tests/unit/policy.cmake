# The policy, the broker's configuration, and the JSON layer that both share. jansson is the second
# reader that the position index is held against; libcrypto's base64 is the second one for keys.
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto)
sp_side(PkgConfig::jansson broker)

sp_add_test(NAME test_diag LABEL unit SIDE broker
  SOURCES unit/test_diag.c ${PROJECT_SOURCE_DIR}/broker/diag_log.c LIBS sp_policy)
target_include_directories(test_diag PRIVATE ${PROJECT_SOURCE_DIR}/broker)
sp_add_test(NAME test_json_text LABEL unit SIDE broker SOURCES unit/test_json_text.c
  LIBS sp_policy PkgConfig::jansson)
sp_add_test(NAME test_policy LABEL unit SIDE broker SOURCES unit/test_policy.c unit/golden.c
  LIBS sp_policy PkgConfig::jansson PkgConfig::libcrypto)
sp_add_test(NAME test_policy_fault LABEL unit SIDE broker
  SOURCES unit/test_policy_fault.c unit/golden.c LIBS sp_policy)
sp_wrap_faults(test_policy_fault)
sp_add_test(NAME test_policy_golden LABEL unit SIDE broker
  SOURCES unit/test_policy_golden.c unit/golden.c LIBS sp_policy)

sp_add_test(NAME test_policy_language LABEL unit SIDE broker SOURCES unit/test_policy_language.c
  LIBS sp_policy)
sp_add_test(NAME test_policy_mangled LABEL unit SIDE broker
  SOURCES unit/test_policy_mangled.c unit/golden.c LIBS sp_policy)
sp_add_test(NAME test_policy_values LABEL unit SIDE broker
  SOURCES unit/test_policy_values.c support/keys_fixture.c LIBS sp_policy PkgConfig::libcrypto)
target_compile_definitions(test_policy_values PRIVATE
  SP_KEYS_DIR="${PROJECT_SOURCE_DIR}/tests/data/keys")

# For ./dev bench.
add_executable(policy_bench support/policy_bench.c)
sp_side(policy_bench broker)
target_link_libraries(policy_bench PRIVATE sp_flags sp_policy)

sp_add_test(NAME test_config LABEL unit SIDE broker
  SOURCES unit/test_config.c unit/golden.c ${PROJECT_SOURCE_DIR}/broker/config.c
  ${PROJECT_SOURCE_DIR}/broker/config_keys.c ${PROJECT_SOURCE_DIR}/broker/config_values.c
  ${PROJECT_SOURCE_DIR}/broker/config_worker.c ${PROJECT_SOURCE_DIR}/broker/listen_address.c
  ${PROJECT_SOURCE_DIR}/broker/uid_range.c LIBS sp_policy)
target_include_directories(test_config PRIVATE ${PROJECT_SOURCE_DIR}/broker)

foreach(test test_config test_policy test_policy_fault test_policy_golden test_policy_mangled)
  target_compile_definitions(${test} PRIVATE SP_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")
endforeach()
