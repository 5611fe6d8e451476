# Planning: inventory to plan. test_json_schemas stands in orchestrator.cmake.
add_library(test_small_fleet STATIC ../lib/small_fleet.c)
target_link_libraries(test_small_fleet PRIVATE pw_warnings PUBLIC orchestrator_core)
foreach(name capacity facts fleet inventory plan plan_verify predict rollout_file)
    pw_test(test_${name} unit test_${name}.c LIBS test_small_fleet)
endforeach()
pw_test_script(test_rules unit test_rules.sh)
