# pw_test(test_NAME unit test_NAME.c LIBS orchestrator_core)

# The store and the command line.
add_library(test_temp_dir STATIC ../lib/temp_dir.c)
target_include_directories(test_temp_dir PRIVATE "${CMAKE_SOURCE_DIR}")
target_link_libraries(test_temp_dir PRIVATE pw_warnings pw_platform PUBLIC pw::cmocka)
foreach(name json_splice render_escape render_hold zone_time)
    pw_test(test_${name} unit test_${name}.c LIBS orchestrator_io)
endforeach()
foreach(name control_socket store store_migrate)
    pw_test(test_${name} unit test_${name}.c LIBS orchestrator_io test_temp_dir)
endforeach()
pw_test(test_options unit test_options.c "${CMAKE_SOURCE_DIR}/orchestrator/options.c" LIBS schema)

# Planning. test_examples leaves the plans that the schemas are held against.
pw_test_script(test_json_schemas unit test_json_schemas.sh)
set_tests_properties(test_json_schemas PROPERTIES DEPENDS "test_examples;test_store_log;test_rollout")
add_library(test_store_bed STATIC ../lib/store_bed.c)
target_include_directories(test_store_bed PRIVATE "${CMAKE_SOURCE_DIR}")
target_link_libraries(test_store_bed PRIVATE pw_warnings pw_test_warnings pw_instrument PUBLIC orchestrator_io test_temp_dir)
foreach(name render_plan store_log store_handover)
    pw_test(test_${name} unit test_${name}.c LIBS test_store_bed)
endforeach()

# The engine's parts that need no whole rollout (tests/scenarios has those).
pw_test(test_event unit test_event.c ../lib/small_fleet.c LIBS orchestrator_core)
pw_test(test_event_pictures unit test_event_pictures.c ../lib/small_fleet.c ../lib/alloc_fault.c LIBS orchestrator_core)
target_link_options(test_event_pictures PRIVATE -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc)
pw_test(test_engine_timer unit test_engine_timer.c ../lib/alloc_fault.c LIBS orchestrator_core)
target_link_options(test_engine_timer PRIVATE -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc)
pw_test(test_gate unit test_gate.c LIBS orchestrator_core)
pw_test(test_ledger unit test_ledger.c LIBS orchestrator_core)
pw_test(test_gate_judge unit test_gate_judge.c LIBS orchestrator_core)
