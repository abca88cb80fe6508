#!/bin/sh
# full: the thread pool and the engine under ThreadSanitizer
# cores 1, build SAN=thread unit-threads
sh tests/sanitized.sh thread test_thread test_pause test_engine_storm test_golden test_engine_chat
