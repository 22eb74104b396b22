# SPDX-License-Identifier: Apache-2.0
# Ruby's threads: kernel threads under a lock of the interpreter, a timer thread beside them, stacks scanned by its collector.
require 'monitor'
require 'open3'
require 'socket'
require 'timeout'

$stdout.sync = true
CASES = {}

CASES['values_and_locals'] = lambda do
  threads = 20.times.map { |i| Thread.new(i) { |n| Thread.current[:own] = n; Thread.pass; Thread.current[:own] * 2 } }
  puts threads.sum(&:value)
  puts Thread.new { Thread.current.name = 'called so'; Thread.current.name }.value
  puts Thread.list.size
end

CASES['mutex_and_condition'] = lambda do
  mutex, changed, turn = Mutex.new, ConditionVariable.new, 0
  threads = 4.times.map do |own|
    Thread.new do
      20.times do
        mutex.synchronize do
          changed.wait(mutex) while turn % 4 != own
          turn += 1
          changed.broadcast
        end
      end
    end
  end
  threads.each(&:join)
  mutex.synchronize { changed.wait(mutex, 0.01) }
  puts "#{turn} #{mutex.try_lock} #{mutex.owned?}"
  begin
    mutex.lock
  rescue ThreadError => e
    puts e.message
  end
  both = Monitor.new
  puts both.synchronize { both.synchronize { 'again' } }
end

CASES['queues'] = lambda do
  work, done = SizedQueue.new(3), Queue.new
  workers = 5.times.map { Thread.new { while (n = work.pop) do done << n * 2 end } }
  100.times { |i| work << i + 1 }
  work.close
  workers.each(&:join)
  sum = 0
  sum += done.pop until done.empty?
  puts sum
  begin
    done.pop(true)
  rescue ThreadError => e
    puts e.message
  end
end

CASES['exceptions_and_kills'] = lambda do
  failing = Thread.new { Thread.current.report_on_exception = false; raise ArgumentError, 'on purpose' }
  begin
    failing.join
  rescue ArgumentError => e
    puts e.message
  end
  events = Queue.new
  sleeper = Thread.new do
    events << :in
    sleep
  ensure
    events << :ensured
  end
  events.pop
  Thread.pass until sleeper.stop?
  puts "#{sleeper.kill.join.equal?(sleeper)} #{events.pop} #{sleeper.status.inspect}"
  raised = Thread.new do
    events << :in
    sleep
  rescue IOError => e
    e.message
  end
  events.pop
  Thread.pass until raised.stop?
  raised.raise(IOError, 'from outside')
  puts raised.value
end

CASES['timeouts'] = lambda do
  begin
    Timeout.timeout(0.05) { sleep }
  rescue Timeout::Error => e
    puts e.message
  end
  begin
    Timeout.timeout(0.05) { IO.pipe[0].read }
  rescue Timeout::Error
    puts 'reading'
  end
  puts Thread.new { sleep 5 }.join(0.02).inspect
  begin
    Timeout.timeout(0.05) { loop {} }
  rescue Timeout::Error
    puts 'computing'
  end
end

CASES['a_turn_for_everybody'] = lambda do
  stop = false
  spins = Thread.new { n = 0; n += 1 until stop; n > 0 }
  sleep 0.02
  stop = true
  puts spins.value
end

CASES['sockets'] = lambda do
  server = TCPServer.new('127.0.0.1', 0)
  port = server.addr[1]
  echo = lambda do |client|
    while (line = client.gets) do client.puts line.upcase end
    client.close
    1
  end
  serving = Thread.new { 30.times.map { Thread.new(server.accept, &echo) }.sum(&:value) }
  clients = 30.times.map do |i|
    Thread.new do
      socket = TCPSocket.new('127.0.0.1', port)
      right = 5.times.count { |n| socket.puts("client #{i} line #{n}"); socket.gets == "CLIENT #{i} LINE #{n}\n" }
      socket.close
      right
    end
  end
  puts clients.sum(&:value), serving.value
end

CASES['pipes_and_select'] = lambda do
  reader, writer = IO.pipe
  waits = Thread.new { IO.select([reader], nil, nil, 5) ? reader.read : 'nothing' }
  sleep 0.01
  writer.write('x' * 100_000)
  writer.close
  puts waits.value.size
  puts IO.select([IO.pipe[0]], nil, nil, 0.01).inspect
end

CASES['children'] = lambda do
  threads = 8.times.map do |i|
    Thread.new do
      out, status = Open3.capture2('cat', stdin_data: "from #{i}")
      "#{out} #{status.exitstatus} #{`echo #{i}`.strip} #{system("exit #{i}")}"
    end
  end
  puts threads.map(&:value)
  pid = fork { Thread.new { exit!(4) }.join }
  puts Process.wait2(pid)[1].exitstatus
end

CASES['collected_stacks'] = lambda do
  deep = ->(n) { own = "kept #{n}"; n.zero? ? GC.start : deep.(n - 1); own == "kept #{n}" or raise 'lost' }
  threads = 10.times.map do |i|
    Thread.new do
      5.times { deep.(50 + i); Thread.pass; Array.new(500) { |n| n.to_s * 3 } }
      i
    end
  end
  puts threads.sum(&:value)
  fibers = 5.times.map do |i|
    Thread.new do
      f = Fiber.new { |x| loop { x = Fiber.yield(x.to_s + "f#{i}"); GC.start } }
      3.times.map { |n| f.resume(n) }.join(' ')
    end
  end
  puts fibers.map(&:value)
end

CASES['too_deep'] = lambda do
  dive = ->(n) { dive.(n + 1) + 1 }
  puts Thread.new { begin; dive.(0); rescue SystemStackError => e; e.message; end }.value
end

CASES['signals'] = lambda do
  told = Queue.new
  trap('USR1') { told << :usr1 }
  Thread.new { Process.kill('USR1', $$) }
  puts told.pop
  others = 3.times.map { Thread.new { sleep } }
  trap('TERM') { exit 3 }
  Thread.new { Process.kill('TERM', $$) }
  others.each(&:join)
end

CASES['deadlocks_are_found'] = lambda do
  q = Queue.new
  begin
    q.pop
  rescue Exception => e # fatal is no StandardError
    puts e.class, e.message.lines.first
  end
end

CASES['ends_while_others_wait'] = lambda do
  10.times { Thread.new { sleep } }
  at_exit { puts 'at exit' }
  puts 'main ends'
end

name = ARGV[0]
if name == '--list'
  puts CASES.keys
elsif CASES[name]
  CASES[name].call
else
  abort "usage: #{$0} --list | CASE"
end
