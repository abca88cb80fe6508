// instrument.js - what stands around the chat: the panels, recordings, the tour. The page can be read, typed
// in and loaded without it, so app.js fetches it behind all that.
import { PanelDrawer } from "./panels.js";
import { Playbar } from "./playbar.js";
import { Recordings } from "./recordings.js";
import { Tour } from "./tour.js";

export class Instrument {
  /** page: {messages, backend, chats, cancel(), close()} */
  constructor(shared, page) {
    const openFirst = () => this.recordings.openFirst(), tour = () => this.tour.begin();
    this.panels = new PanelDrawer(shared);
    this.recordings = new Recordings(shared, { ...page, bar: new Playbar(shared), tour });
    this.tour = new Tour(shared, { openFirst, close: page.close });
    this.recordings.wire();
    this.tour.wire();
    shared.news();
  }
}
