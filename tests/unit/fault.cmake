# Every allocation and every system call that can fail, failing once.
sp_add_test(NAME test_fault_memory LABEL fault SIDE broker TIMEOUT 300
  SOURCES unit/test_fault_memory.c support/fault_libraries.c support/fake_engine.c
    support/keys_fixture.c
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto Threads::Threads)
# With what is around the broker played by scene.c.
sp_add_test(NAME test_fault_connection LABEL fault SIDE broker TIMEOUT 300
  SOURCES unit/test_fault_connection.c support/fault_libraries.c support/scene.c
  LIBS sp_broker sp_fuzz_checks PkgConfig::libcrypto)
foreach(name memory connection)
  sp_wrap_faults(test_fault_${name})
endforeach()
