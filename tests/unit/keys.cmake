# SSH keys and login proofs: what the broker signs, and whom it believes.
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto)
foreach(name ssh_key host_key transcript userauth)
  sp_add_test(NAME test_${name} LABEL unit SIDE broker
    SOURCES unit/test_${name}.c support/keys_fixture.c LIBS sp_broker PkgConfig::libcrypto)
  target_compile_definitions(test_${name} PRIVATE
    SP_KEYS_DIR="${PROJECT_SOURCE_DIR}/tests/data/keys")
endforeach()

# A security key of software for the clients of the black-box tests. Loaded into OpenSSH's own helper,
# which has no sanitizers: it gets none either.
add_library(sk_provider MODULE support/sk_provider.c)
sp_side(sk_provider none)
target_link_libraries(sk_provider PRIVATE sp_warnings PkgConfig::libcrypto)
target_compile_definitions(sk_provider PRIVATE _GNU_SOURCE)
