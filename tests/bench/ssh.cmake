# What the transport costs; run by hand (docs/benchmarks.md), not a test.
if(WIN32 OR NOT TARGET pw::cmocka)
    return()
endif()
pw_program(bench_ssh SOURCES bench_ssh.c LIBS test_sshd)
target_compile_definitions(bench_ssh PRIVATE "ECHO_AGENT=\"$<TARGET_FILE:echo_agent>\"")
add_dependencies(bench_ssh echo_agent)
