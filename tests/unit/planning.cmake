# Planning: inventory to plan, and its schemas.
add_library(test_small_fleet STATIC ../lib/small_fleet.c)
target_link_libraries(test_small_fleet PRIVATE pw_warnings PUBLIC orchestrator_core)
foreach(name capacity fleet inventory plan rollout_file)
    pw_test(test_${name} unit test_${name}.c LIBS test_small_fleet)
endforeach()
# test_examples leaves the plans that the schemas are held against.
pw_test_script(test_json_schemas unit test_json_schemas.sh)
set_tests_properties(test_json_schemas PROPERTIES DEPENDS test_examples)
