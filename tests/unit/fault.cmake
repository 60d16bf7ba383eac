# Every allocation and every system call that can fail, failing once.
sp_add_test(NAME test_fault_memory LABEL fault SIDE broker TIMEOUT 300
  SOURCES unit/test_fault_memory.c support/fault_libraries.c support/fake_engine.c
    support/keys_fixture.c
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto Threads::Threads)
# With what is around the broker played by scene.h.
sp_add_test(NAME test_fault_connection LABEL fault SIDE broker TIMEOUT 300
  SOURCES unit/test_fault_connection.c support/fault_libraries.c ${SP_SCENE}
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto PkgConfig::jansson)
sp_add_test(NAME test_clock LABEL unit SIDE broker SOURCES unit/test_clock.c ${SP_SCENE}
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto PkgConfig::jansson)
sp_add_test(NAME test_bounds LABEL unit SIDE broker SOURCES unit/test_bounds.c ${SP_SCENE}
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto PkgConfig::jansson)
sp_add_test(NAME test_fault_system LABEL fault SIDE broker
  SOURCES unit/test_fault_system.c support/keys_fixture.c
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto)
sp_add_test(NAME test_read_file LABEL fault SIDE none SOURCES unit/test_read_file.c LIBS sp_common)
sp_add_test(NAME test_container LABEL unit SIDE broker SOURCES unit/test_container.c ${SP_SCENE}
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto PkgConfig::jansson)
sp_add_test(NAME test_worker_pool LABEL unit SIDE broker SOURCES unit/test_worker_pool.c ${SP_SCENE}
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto PkgConfig::jansson)
foreach(name fault_memory fault_connection fault_system read_file)
  sp_wrap_faults(test_${name})
endforeach()
