'use strict';

// What a lane is made of. Each part knows the others by this, and holds nothing but its own: there are as many of each
// as there are connections, most of them idle.

const EarlyOutput = require('./early-output');
const Ending = require('./ending');
const Exchange = require('./exchange');
const Hold = require('./hold');
const Input = require('./input');
const LaneConnection = require('./lane-connection');
const Parking = require('./parking');
const Place = require('../crossing/place');
const Sender = require('./sender');
const WriteWindow = require('./write-window');

class Parts {
  /** `plan`: that of its connection (connect.js). */
  constructor(lane, agent, plan) {
    this.lane = lane;
    this.agent = agent;
    this.plan = plan;
    this.place = new Place(lane, true);
    this.ending = new Ending(this);
    this.connection = new LaneConnection(this);
    this.input = new Input(this);
    this.early = new EarlyOutput();
    this.sender = new Sender(this);
    this.output = new WriteWindow(this.sender);
    this.parking = new Parking(this);
    this.exchange = new Exchange(this);
    this.hold = new Hold(this);
  }

  /** Where the connection leads (route.js). */
  get route() {
    return this.plan.route;
  }
}

module.exports = Parts;
