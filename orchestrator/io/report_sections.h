/* What a report of a run consists of, as questions to the store. ?1 is the run, ?2 now. Text and Markdown leave out those
 * that have no rows and no `nothing`. `brief` (NULL: none) is the question for people at a terminal, where the whole answer
 * would be a line for each of many: JSON, Markdown and `log` have it all. */
#ifndef PATCHWAVE_REPORT_SECTIONS_H
#define PATCHWAVE_REPORT_SECTIONS_H

struct section {
    const char *key, *title, *nothing, *sql, *brief;
};
enum { SECTION_GATES = 4, SECTION_STOPPED_VMS = 6, SECTIONS = 12 };
extern const struct section report_sections[SECTIONS];

#endif
