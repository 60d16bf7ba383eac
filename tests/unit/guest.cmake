# The guest's codec, and the guest itself: the tests play the broker and the worker for a real process
# 1 in namespaces of its own, once with the binary as shipped and once with the checked build.
sp_add_test(NAME test_guest_msg LABEL unit SIDE none SOURCES unit/test_guest_msg.c LIBS sp_common)
sp_add_test(NAME test_stream_msg LABEL unit SIDE none SOURCES unit/test_stream_msg.c LIBS sp_common)
foreach(name test_guest test_guest_end test_guest_names test_guest_stream test_guest_stream_listener)
  sp_add_test(NAME ${name} LABEL unit SIDE none TIMEOUT 600
    SOURCES unit/${name}.c support/guest_harness.c LIBS sp_common)
  target_compile_definitions(${name} PRIVATE
    GUEST_FILE="${PROJECT_BINARY_DIR}/guest/bundle/sallyport-guest")
  add_dependencies(${name} sallyport-guest_program sp_guest_checked)
  add_test(NAME ${name}_checked COMMAND ${name} $<TARGET_FILE:sp_guest_checked>)
  set_tests_properties(${name}_checked PROPERTIES LABELS unit TIMEOUT 600 SKIP_RETURN_CODE 77)
endforeach()
# They listen at the same ports, an X display's; the others let the kernel choose, or have a network of their own.
foreach(name test_guest test_guest_stream_listener)
  set_tests_properties(${name} ${name}_checked PROPERTIES RESOURCE_LOCK ports)
endforeach()
sp_add_test(NAME test_guest_hostile LABEL unit SIDE none
  SOURCES unit/test_guest_hostile.c support/guest_harness.c LIBS sp_common)
target_compile_definitions(test_guest_hostile PRIVATE
  GUEST_FILE="${PROJECT_BINARY_DIR}/guest/sallyport-guest-hostile")
add_dependencies(test_guest_hostile sallyport-guest-hostile_program)
sp_add_test(NAME test_sftp LABEL unit SIDE none SOURCES unit/test_sftp.c LIBS sp_sftp)
