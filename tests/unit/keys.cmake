# SSH keys and login proofs: what the broker signs, and whom it believes.
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto)
foreach(name ssh_key host_key transcript userauth)
  sp_add_test(NAME test_${name} LABEL unit SIDE broker
    SOURCES unit/test_${name}.c support/keys_fixture.c LIBS sp_broker PkgConfig::libcrypto)
  target_compile_definitions(test_${name} PRIVATE
    SP_KEYS_DIR="${PROJECT_SOURCE_DIR}/tests/data/keys")
endforeach()
