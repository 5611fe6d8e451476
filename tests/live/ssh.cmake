# The transport against a real sshd.
if(WIN32 OR NOT TARGET pw::cmocka)
    return()
endif()

# pw_ssh_test(NAME [ALSO asan]): against a real sshd with echo_agent behind it.
function(pw_ssh_test name)
    pw_test(test_${name} live test_${name}.c ssh_world.c LIBS test_sshd test_fault_proxy TIMEOUT 400 ${ARGN})
    target_compile_definitions(test_${name} PRIVATE "ECHO_AGENT=\"$<TARGET_FILE:echo_agent>\"")
    add_dependencies(test_${name} echo_agent)
endfunction()
pw_ssh_test(ssh_session ALSO asan)
pw_ssh_test(agent_client ALSO asan)
pw_ssh_test(payload ALSO asan)
pw_ssh_test(ssh_pool ALSO asan)
pw_ssh_test(ssh_rekey)
pw_ssh_test(agent_over_ssh)
target_link_libraries(test_agent_over_ssh PRIVATE test_agent_process)
