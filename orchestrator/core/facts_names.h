/* The words of docs/driver.md's facts, shared by readers and writers. */
#ifndef PATCHWAVE_FACTS_NAMES_H
#define PATCHWAVE_FACTS_NAMES_H

extern const char *const node_state_names[5];
extern const char *const package_state_names[7];
extern const char *const disk_health_names[4];
extern const char *const storage_job_names[5];
extern const char *const group_type_names[7];
extern const char *const group_state_names[5];

#endif
