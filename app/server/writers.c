/* writers.c - see writers.h. */
#include "writers.h"

extern const goss_srv_writer goss_srv_write_chat, goss_srv_write_text, goss_srv_write_responses,
    goss_srv_write_messages, goss_srv_write_ollama, goss_srv_write_compact;

const goss_srv_writer *goss_srv_writer_of(goss_srv_api api)
{
    static const goss_srv_writer *const writers[GOSS_SRV_N_APIS] = {
        &goss_srv_write_chat,     &goss_srv_write_text,   &goss_srv_write_responses,
        &goss_srv_write_messages, &goss_srv_write_ollama, &goss_srv_write_ollama,
        &goss_srv_write_compact
    };
    return writers[api];
}
