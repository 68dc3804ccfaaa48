import static com.hazelcast.jet.Util.entry;

import com.hazelcast.config.Config;
import com.hazelcast.config.JoinConfig;
import com.hazelcast.core.Hazelcast;
import com.hazelcast.jet.config.JobConfig;
import com.hazelcast.jet.config.ProcessingGuarantee;
import com.hazelcast.jet.kafka.KafkaSinks;
import com.hazelcast.jet.kafka.KafkaSources;
import com.hazelcast.jet.pipeline.Pipeline;
import java.util.Map.Entry;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** BROKERS INPUT OUTPUT [SETTING=VALUE...]: an order for every quote, by a job of Hazelcast Jet on one embedded member. */
final class Jet {
    /** What an idle thread sleeps at most before it looks again. */
    private static final String IDLE_MICROS_MAX = "100";

    private Jet() {}

    public static void main(String[] args) {
        String input = args[1], output = args[2];

        Properties consumer = new Properties();
        consumer.put("bootstrap.servers", args[0]);
        consumer.put("group.id", "pinion-peer-" + input);
        consumer.put("auto.offset.reset", "earliest");
        consumer.put("enable.auto.commit", "false");
        consumer.put("key.deserializer", ByteArrayDeserializer.class.getName());
        consumer.put("value.deserializer", ByteArrayDeserializer.class.getName());

        Properties producer = new Properties();
        producer.put("bootstrap.servers", args[0]);
        producer.put("linger.ms", "0");
        producer.put("acks", "all");
        producer.put("key.serializer", ByteArraySerializer.class.getName());
        producer.put("value.serializer", ByteArraySerializer.class.getName());
        for (int at = 3; at < args.length; at++) {
            String[] setting = args[at].split("=", 2);
            producer.put(setting[0], setting[1]);
        }

        Pipeline pipeline = Pipeline.create();
        pipeline.readFrom(KafkaSources.<byte[], byte[], Entry<Long, byte[]>>kafka(consumer, Jet::received, input))
                .withoutTimestamps()
                .setLocalParallelism(1)
                .map(record -> Quotes.order(record.getKey(), record.getValue()))
                .setLocalParallelism(1)
                .writeTo(KafkaSinks.<byte[], byte[], byte[]>kafka(producer, order -> sent(output, order)))
                .setLocalParallelism(1);

        JobConfig job = new JobConfig().setName(input).setProcessingGuarantee(ProcessingGuarantee.AT_LEAST_ONCE);
        try {
            Hazelcast.newHazelcastInstance(member(input)).getJet().newJob(pipeline, job).join();
        } catch (RuntimeException error) {
            error.printStackTrace();
            Runtime.getRuntime().halt(1); // The member's threads would stay.
        }
    }

    private static Entry<Long, byte[]> received(ConsumerRecord<byte[], byte[]> record) {
        return entry(record.offset(), record.value());
    }

    private static ProducerRecord<byte[], byte[]> sent(String output, byte[] order) {
        return new ProducerRecord<>(output, null, Quotes.KEY, order, Quotes.HEADERS);
    }

    /** A cluster of this process alone, on the loopback address. */
    private static Config member(String name) {
        Config config = new Config().setClusterName("pinion-peer-" + name);
        config.setProperty("hazelcast.phone.home.enabled", "false");
        config.setProperty("hazelcast.logging.type", "slf4j");
        config.setProperty("hazelcast.socket.bind.any", "false");
        config.setProperty("hazelcast.jet.idle.cooperative.max.microseconds", IDLE_MICROS_MAX);
        config.setProperty("hazelcast.jet.idle.noncooperative.max.microseconds", IDLE_MICROS_MAX);
        config.getNetworkConfig().getInterfaces().setEnabled(true).addInterface("127.0.0.1");
        JoinConfig join = config.getNetworkConfig().getJoin();
        join.getAutoDetectionConfig().setEnabled(false);
        join.getMulticastConfig().setEnabled(false);
        join.getTcpIpConfig().setEnabled(false);
        config.getJetConfig().setEnabled(true).setCooperativeThreadCount(1);
        return config;
    }
}
