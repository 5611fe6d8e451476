# The pure parts of the transport.
foreach(name backoff rate ssh_bcrypt ssh_hostkeys ssh_proxy ssh_wire)
    pw_test(test_${name} unit test_${name}.c LIBS orchestrator_io)
endforeach()
# What agents tell, as the live backend reads it.
pw_test(test_live_record unit test_live_record.c ../lib/alloc_fault.c LIBS orchestrator_io)
target_link_options(test_live_record PRIVATE -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=strdup)
