# A real sshd for a test, a program to stand behind it, and a proxy to stand between.
if(WIN32 OR NOT TARGET pw::cmocka)
    return()
endif()

# A real sshd for a test, and a program to stand behind it.
pw_io_library(test_sshd SOURCES sshd_bed.c LIBS orchestrator_io pw::cmocka)
target_link_libraries(test_sshd PRIVATE pw_test_warnings)
pw_program(echo_agent SOURCES echo_agent.c LIBS schema)

# A TCP proxy that cuts, delays, freezes and slows; also as a program.
pw_io_library(test_fault_proxy SOURCES fault_proxy.c LIBS orchestrator_io)
pw_program(fault_proxy SOURCES fault_proxy_main.c LIBS test_fault_proxy)
