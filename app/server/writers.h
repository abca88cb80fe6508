/* writers.h - each protocol's writer. */
#ifndef GOSS_SERVER_WRITERS_H
#define GOSS_SERVER_WRITERS_H
#include "job.h"
const goss_srv_writer *goss_srv_writer_of(
    goss_srv_api api); /* of one that generates: those below GOSS_SRV_COUNT */
#endif
