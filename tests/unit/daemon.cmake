# The worker: its modules alone, and the real program with the stock clients. fake_broker plays the
# broker, the engine and the guest; it is on no side, and links neither libssh nor the engine client.
pkg_check_modules(fake_crypto REQUIRED IMPORTED_TARGET libcrypto)
add_executable(fake_broker support/fake_broker.c)
sp_side(fake_broker none)
target_link_libraries(fake_broker PRIVATE sp_common PkgConfig::fake_crypto)
